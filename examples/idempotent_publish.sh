curl http://127.0.0.1:8080/api/publish --json '{"channel": "invoices", "data": {"number": 7}, "id": "invoice-7"}'
curl http://127.0.0.1:8080/api/publish --json '{"channel": "invoices", "data": {"number": 7}, "id": "invoice-7"}'
