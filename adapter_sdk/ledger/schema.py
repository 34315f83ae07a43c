"""The ledger's tables and the statements that change them: plain SQL that SQLite and PostgreSQL share."""

SCHEMA_VERSION = 3

# As they stand in an index, so that a query that says the same finds its rows there.
ENDED = "(state = 'applied' OR state = 'discarded')"
OPEN = "answered_by IS NULL"
IN_LINE = "order_key IS NOT NULL AND state <> 'applied' AND state <> 'discarded'"

TABLES = (
    """CREATE TABLE IF NOT EXISTS adaptor_ledger (
  adaptor VARCHAR(60) NOT NULL,
  event_hash CHAR(64) NOT NULL,
  source VARCHAR(2048) NOT NULL,
  id VARCHAR(2048) NOT NULL,
  type VARCHAR(2048) NOT NULL,
  subject VARCHAR(2048),
  correlation_id VARCHAR(2048),
  digest CHAR(64) NOT NULL,
  state VARCHAR(12) NOT NULL,
  attempts INTEGER NOT NULL,
  token CHAR(32) NOT NULL,
  owner BIGINT NOT NULL,
  unsent SMALLINT NOT NULL,
  replies {blob},
  evidence {blob},
  message {blob},
  reason VARCHAR(255),
  error TEXT,
  received_at DOUBLE PRECISION NOT NULL,
  updated_at DOUBLE PRECISION NOT NULL,
  due_at DOUBLE PRECISION,
  decisions {blob},
  PRIMARY KEY (adaptor, event_hash)
)""",
    (
        "CREATE INDEX IF NOT EXISTS adaptor_ledger_open ON adaptor_ledger (adaptor, state, updated_at) "
        "WHERE state <> 'applied' AND state <> 'claimed'"
    ),
    f"CREATE INDEX IF NOT EXISTS adaptor_ledger_ended ON adaptor_ledger (adaptor, updated_at) WHERE {ENDED}",
    "CREATE INDEX IF NOT EXISTS adaptor_ledger_unsent ON adaptor_ledger (adaptor, updated_at) WHERE unsent = 1",
    """CREATE TABLE IF NOT EXISTS adaptor_sequence (
  adaptor VARCHAR(60) NOT NULL,
  name VARCHAR(255) NOT NULL,
  last BIGINT NOT NULL,
  PRIMARY KEY (adaptor, name)
)""",
)

# What makes the tables of each version out of those of the one before. The tables above are version 1.
MIGRATIONS = {
    2: (
        "ALTER TABLE adaptor_ledger ADD COLUMN order_key VARCHAR(255)",
        "ALTER TABLE adaptor_ledger ADD COLUMN arrival BIGINT",
        (
            "CREATE INDEX IF NOT EXISTS adaptor_ledger_line ON adaptor_ledger (adaptor, order_key, arrival) "
            f"WHERE {IN_LINE}"
        ),
    ),
    3: (
        """CREATE TABLE IF NOT EXISTS adaptor_owed (
  adaptor VARCHAR(60) NOT NULL,
  reply_id CHAR(36) NOT NULL,
  event_hash CHAR(64) NOT NULL,
  answer_key VARCHAR(255) NOT NULL,
  number BIGINT NOT NULL,
  since DOUBLE PRECISION NOT NULL,
  overdue_at DOUBLE PRECISION,
  announced SMALLINT NOT NULL,
  answered_by CHAR(64),
  PRIMARY KEY (adaptor, reply_id)
)""",
        "CREATE INDEX IF NOT EXISTS adaptor_owed_event ON adaptor_owed (adaptor, event_hash)",
        f"CREATE INDEX IF NOT EXISTS adaptor_owed_open ON adaptor_owed (adaptor, answer_key, number) WHERE {OPEN}",
        "CREATE UNIQUE INDEX IF NOT EXISTS adaptor_owed_answer ON adaptor_owed (adaptor, answered_by)",
    ),
}

COLUMNS = (
    "source, id, type, subject, correlation_id, digest, state, attempts, token, owner, unsent, replies, evidence, "
    "message, reason, error, received_at, updated_at, due_at, decisions, order_key, arrival"
)
SEQUENCE = "adaptor = :adaptor AND name = :name"
ROW = "adaptor = :adaptor AND event_hash = :event_hash"
INSERT = (
    f"INSERT INTO adaptor_ledger (adaptor, event_hash, {COLUMNS}) VALUES (:adaptor, :event_hash, "
    + ", ".join(f":{name.strip()}" for name in COLUMNS.split(","))
    + ") ON CONFLICT DO NOTHING"
)
CLAIM = (
    "INSERT INTO adaptor_ledger (adaptor, event_hash, source, id, type, subject, correlation_id, digest, state, "
    "attempts, token, owner, unsent, received_at, updated_at, order_key, arrival) VALUES (:adaptor, :event_hash, "
    ":source, :id, :type, :subject, :correlation_id, :digest, 'claimed', 1, :token, :owner, 0, :received_at, "
    ":received_at, :order_key, :arrival) ON CONFLICT DO NOTHING"
)
TAKE_OVER = (
    "UPDATE adaptor_ledger SET token = :token, owner = :owner, attempts = :attempts, state = :state, "
    "unsent = 0, due_at = NULL, order_key = COALESCE(order_key, :order_key), arrival = COALESCE(arrival, :arrival), "
    f"updated_at = :updated_at WHERE {ROW} AND token = :found AND state = :found_state"
)
RECORD = (
    "UPDATE adaptor_ledger SET state = :state, owner = 0, replies = COALESCE(:replies, replies), unsent = :unsent, "
    "reason = :reason, error = :error, "
    "message = CASE WHEN :applied = 1 THEN NULL ELSE COALESCE(message, :message) END, due_at = :due_at, "
    f"attempts = COALESCE(:attempts, attempts), updated_at = :updated_at WHERE {ROW} AND token = :token "
    # A COMMIT whose answer was lost may still be under way and end the row before this statement sees it.
    "AND state NOT IN ('applied', 'dead', 'discarded')"
)
NOTE = (
    "UPDATE adaptor_ledger SET state = :state, evidence = :evidence, replies = COALESCE(:replies, replies), "
    f"updated_at = :updated_at WHERE {ROW} AND token = :token"
)
HOLD = (
    "UPDATE adaptor_ledger SET state = 'held', owner = 0, attempts = :attempts, message = COALESCE(message, :message) "
    f"WHERE {ROW} AND token = :token AND state = 'claimed'"
)
KEEP = (
    f"UPDATE adaptor_ledger SET message = COALESCE(message, :message) WHERE {ROW} "
    "AND state NOT IN ('applied', 'dead', 'discarded')"
)
# Who stands first in a line: `NOT_ENDED` takes `:past_dead`, which is 1 where a dead letter holds nobody back.
NOT_ENDED = f"{IN_LINE} AND (state <> 'dead' OR :past_dead = 0)"
NEXT_IN_LINE = (
    f"{IN_LINE} AND message IS NOT NULL AND state <> 'dead' AND (state <> 'in doubt' OR due_at IS NOT NULL) "
    "AND NOT EXISTS (SELECT 1 FROM adaptor_ledger AS earlier WHERE earlier.adaptor = adaptor_ledger.adaptor "
    "AND earlier.order_key = adaptor_ledger.order_key AND earlier.arrival < adaptor_ledger.arrival "
    "AND earlier.order_key IS NOT NULL AND earlier.state <> 'applied' AND earlier.state <> 'discarded' "
    "AND (earlier.state <> 'dead' OR :past_dead = 0)) "
    # First what a process had in hand when it died: what killed it is among them, and is to be met soon.
    "ORDER BY CASE WHEN state IN ('claimed', 'staged', 'calling') THEN 0 ELSE 1 END, COALESCE(due_at, 0), arrival "
    "LIMIT :limit"
)
BACK_TO_DEAD = (
    "UPDATE adaptor_ledger SET state = 'dead', unsent = 0, reason = :reason, error = :error, updated_at = :updated_at "
    f"WHERE {ROW} AND state = 'waiting'"
)
INTERVENE = (
    "UPDATE adaptor_ledger SET state = :state, attempts = :attempts, unsent = :unsent, replies = :replies, "
    "evidence = :evidence, due_at = :due_at, decisions = :decisions, updated_at = :updated_at "
    f"WHERE {ROW} AND state = :seen_state AND token = :seen_token"
)
OWE = (
    "INSERT INTO adaptor_owed (adaptor, reply_id, event_hash, answer_key, number, since, overdue_at, announced) "
    "VALUES (:adaptor, :reply_id, :event_hash, :answer_key, :number, :since, :overdue_at, 0) ON CONFLICT DO NOTHING"
)
ANSWERED = (
    f"UPDATE adaptor_owed SET answered_by = :answered_by WHERE adaptor = :adaptor AND reply_id = :reply_id AND {OPEN}"
)
COMPLETE = (
    "UPDATE adaptor_ledger SET replies = :replies, unsent = 1, token = :token, updated_at = :updated_at "
    f"WHERE {ROW} AND token = :found"
)
NOT_OWED = (
    "NOT EXISTS (SELECT 1 FROM adaptor_owed WHERE adaptor_owed.adaptor = adaptor_ledger.adaptor "
    f"AND adaptor_owed.event_hash = adaptor_ledger.event_hash AND {OPEN})"
)


WHERE_VERSION = "WHERE adaptor = '' AND name = 'schema version'"


def create_statements(blob: str) -> list[str]:
    """The SQL that makes the tables of version 1 where there are none, one statement each."""
    version = (
        "INSERT INTO adaptor_sequence (adaptor, name, last) VALUES ('', 'schema version', 1) ON CONFLICT DO NOTHING"
    )
    return [statement.format(blob=blob) for statement in TABLES] + [version]


def migration_statements(version: int) -> list[str]:
    """The SQL that brings tables of this version up to date, one statement each; none if they are."""
    steps = [statement for number in range(version + 1, SCHEMA_VERSION + 1) for statement in MIGRATIONS[number]]
    return [*steps, f"UPDATE adaptor_sequence SET last = {SCHEMA_VERSION} {WHERE_VERSION}"] if steps else []
