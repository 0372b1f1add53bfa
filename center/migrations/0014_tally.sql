-- Lists and pages of updates to 100,000 gateways. The same SQL as in 0001.

-- The counts of an update whose commands have all ended, as JSON; NULL: they are counted when they are asked for.
ALTER TABLE updates ADD COLUMN tally TEXT;
DROP INDEX updates_open;
CREATE INDEX updates_uncounted ON updates (update_id) WHERE tally IS NULL;

-- Counts are read from it alone, and so is which lines are on a page. Every index costs each command of an update, and each change of one: those
-- that this one stands for are gone. What expires is found by its update.
DROP INDEX commands_by_expiry;
DROP INDEX commands_by_outcome;
DROP INDEX commands_by_status;
CREATE INDEX commands_by_status ON commands (update_id, delivery, outcome, eui, stage, overdue_at);
