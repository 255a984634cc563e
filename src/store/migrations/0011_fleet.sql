-- Which term is now, and which node leads in it (NULL: none). A term is a random number. Each decision is
-- of one, and is refused when that is over. The beat moves with each renewal.
CREATE TABLE fleet (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    term   INTEGER NOT NULL,
    leader INTEGER,
    beat   INTEGER NOT NULL
) STRICT;
INSERT INTO fleet (one, term, leader, beat) VALUES (1, 0, NULL, 0);
