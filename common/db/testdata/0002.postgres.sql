-- one person
INSERT INTO person (id, name, photo) VALUES ('1', 'a;b [c] ${d} "e"', '\x00FF');
