"""The tests: a package, since one of the clients that they run ships a package of this name too."""
