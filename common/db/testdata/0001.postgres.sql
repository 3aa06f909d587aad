-- people; with a semicolon
CREATE TABLE person (id TEXT PRIMARY KEY, name TEXT, photo BYTEA);
