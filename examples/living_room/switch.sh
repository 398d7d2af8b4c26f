chappe pub maison/cuisine/lumiere ON
chappe pub maison/cuisine/lumiere OFF
