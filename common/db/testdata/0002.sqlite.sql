-- one person
INSERT INTO person (id, name, photo) VALUES ('1', 'a;b [c] ${d} "e"', X'00FF');
