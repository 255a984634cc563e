-- What deliveries are looked up by is made from their rows at a start: stored with them, it only made
-- them longer.
ALTER TABLE delivery DROP COLUMN event_key;
ALTER TABLE delivery DROP COLUMN dedupe_key;
