curl http://127.0.0.1:8080/api/publish --json '{"channel": "news", "data": {"hello": "curl"}}'
