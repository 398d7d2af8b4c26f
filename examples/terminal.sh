chappe pub news '{"title": "hello"}'
chappe pub news 'a second line'
chappe sub news --since 2 --count 2
chappe sub news --since latest --count 1 --json
echo hello | chappe connect ws://127.0.0.1:8080/echo
