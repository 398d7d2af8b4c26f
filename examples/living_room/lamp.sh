mosquitto_sub -h localhost -t maison/cuisine/lumiere -q 1
