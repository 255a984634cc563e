-- 1: given up, since the edge keeps saying that there is no such file.
ALTER TABLE verified ADD COLUMN absent INTEGER NOT NULL DEFAULT 0;

-- The next looks of one pipeline, however many wait in others.
CREATE INDEX verification_probe ON verification (pipeline, due) WHERE stage = 'probe';
