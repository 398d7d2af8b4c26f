chappe pub mqtt://localhost/maison/cuisine/lumiere ON --qos 1 --retain
chappe sub mqtt://localhost/maison/cuisine/lumiere --count 1 --json
