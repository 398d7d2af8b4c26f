begun=$(curl --silent http://127.0.0.1:8080/poll)
session=$(echo "$begun" | sed 's/.*"session":"\([^"]*\)".*/\1/')
send="http://127.0.0.1:8080/send?session=$session"
curl --silent "$send" --data '{"type": "subscribe", "id": 1, "channel": "news"}'
curl --silent "$send" --data '{"type": "publish", "id": 2, "channel": "news", "data": "hello curl"}'
curl --silent "http://127.0.0.1:8080/poll?session=$session&cursor=0"
curl --silent --request DELETE "http://127.0.0.1:8080/poll?session=$session"
curl --silent 'http://127.0.0.1:8080/send?clientId=me' --data '{"type": "login", "content": "Ada"}'
curl --silent 'http://127.0.0.1:8080/poll?clientId=me'
