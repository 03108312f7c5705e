-- When a receiver said that what was in the request is stored. It says so once, so that is on disk before anything else is done
-- about it.
ALTER TABLE ticket ADD COLUMN confirmed_at INTEGER;
