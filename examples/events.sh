curl --silent http://127.0.0.1:8080/api/publish --json '{"channel": "news", "data": {"hello": "curl"}}'
curl --silent --no-buffer --max-time 2 'http://127.0.0.1:8080/events?channel=news&since=latest' || test $? -eq 28
curl --silent --no-buffer --max-time 2 'http://127.0.0.1:8080/events?channel=news&since=latest&raw=1' || test $? -eq 28
