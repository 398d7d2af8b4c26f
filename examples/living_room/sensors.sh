mosquitto_pub -h localhost -t maison/salon/temperature -m 21.5 -q 1
mosquitto_pub -h localhost -t maison/salon/humidite -m 48 -q 1
chappe sub maison/salon/temperature --since latest --count 1
chappe sub maison/salon/humidite --since latest --count 1
