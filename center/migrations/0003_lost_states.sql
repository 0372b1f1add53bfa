-- A gateway that has lost its state is asked again what became of the commands that it had. The same SQL as in 0001.

-- The stream of the last report about the command; NULL before the first one.
ALTER TABLE commands ADD COLUMN heard_stream TEXT;
UPDATE commands SET heard_stream = (SELECT report_stream FROM gateways WHERE gateways.eui = commands.eui)
    WHERE overdue_at IS NOT NULL;

CREATE INDEX commands_owed ON commands (eui) WHERE overdue_at IS NOT NULL;
