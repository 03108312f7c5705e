-- The name of the replay that brings records to a sink once more: each event carries it.
ALTER TABLE replay ADD COLUMN replay_id TEXT COLLATE "C";
ALTER TABLE delivery ADD COLUMN replay_id TEXT COLLATE "C";
