-- Who paused, in words: a user, or the session of the page with its address. Empty: not known.
ALTER TABLE pause ADD COLUMN who TEXT NOT NULL DEFAULT '';
