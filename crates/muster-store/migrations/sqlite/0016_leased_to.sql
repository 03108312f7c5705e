-- The last delivery that may be worked on under the lease of its queue: what comes after it may be given up meanwhile.
ALTER TABLE queue ADD COLUMN leased_to INTEGER NOT NULL DEFAULT 0;
