"""The examples: a package, since a program that the tests run ships a package of this name too."""
