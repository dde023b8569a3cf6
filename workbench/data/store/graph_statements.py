"""The statements of :mod:`workbench.data.store.graphs`."""

from __future__ import annotations

# The lock on the thread comes first, in a statement of its own: what the next one sees is what is there under it.
TOUCH = """
INSERT INTO workbench.graph_threads AS thread (thread_id, agent_type) VALUES (%(thread_id)s, %(agent_type)s)
ON CONFLICT (thread_id) DO UPDATE SET changed = thread.changed + 1, changed_at = clock_timestamp(),
  agent_type = coalesce(thread.agent_type, excluded.agent_type)
"""

LOCK = """
UPDATE workbench.graph_threads SET changed = changed + 1, changed_at = clock_timestamp()
WHERE thread_id = %(thread_id)s RETURNING id
"""

THREAD = "SELECT id FROM workbench.graph_threads WHERE thread_id = %(thread_id)s"

PUT = """
WITH thread AS (SELECT id FROM workbench.graph_threads WHERE thread_id = %(thread_id)s),
fresh AS (
  INSERT INTO workbench.graph_values (thread, digest, base, position, kind, data)
  SELECT thread.id, given.* FROM thread, unnest(
    %(digests)b::bytea[], %(bases)b::bytea[], %(positions)s::int[], %(kinds)s::text[], %(data)b::bytea[]) AS given
  ON CONFLICT DO NOTHING),
point AS (
  INSERT INTO workbench.graph_checkpoints
    (thread, namespace, checkpoint_id, parent_id, run_id, metadata, channels, kind, document)
  SELECT id, %(namespace)s, %(checkpoint_id)s, %(parent_id)s, %(run_id)s, %(metadata)s::jsonb, %(channels)s, %(kind)s,
    %(document)b FROM thread
  ON CONFLICT (thread, namespace, checkpoint_id) DO UPDATE SET parent_id = excluded.parent_id,
    run_id = excluded.run_id, metadata = excluded.metadata, channels = excluded.channels, kind = excluded.kind,
    document = excluded.document)
SELECT count(*) FROM workbench.graph_values WHERE thread = (SELECT id FROM thread) AND digest = ANY(%(needed)b::bytea[])
"""

PUT_WRITES = """
INSERT INTO workbench.graph_writes AS old
  (thread, namespace, checkpoint_id, task_id, task_path, idx, channel, kind, data)
SELECT (SELECT id FROM workbench.graph_threads WHERE thread_id = %(thread_id)s), %(namespace)s, %(checkpoint_id)s,
  given.* FROM unnest(%(tasks)s::text[], %(paths)s::text[], %(numbers)s::int[], %(names)s::text[], %(kinds)s::text[],
  %(data)b::bytea[]) AS given
ON CONFLICT (thread, namespace, checkpoint_id, task_id, idx) DO UPDATE SET task_path = excluded.task_path,
  channel = excluded.channel, kind = excluded.kind, data = excluded.data
WHERE old.idx < 0
"""

TOLD = """
SELECT channels, kind, document FROM workbench.graph_checkpoints
WHERE thread = (SELECT id FROM workbench.graph_threads WHERE thread_id = %(thread_id)s) AND namespace = %(namespace)s
  AND checkpoint_id = %(checkpoint_id)s
"""

HEADS = """
SELECT namespace, max(checkpoint_id) FROM workbench.graph_checkpoints
WHERE thread = (SELECT id FROM workbench.graph_threads WHERE thread_id = %(thread_id)s) GROUP BY namespace
"""

FIELDS = """
SELECT point.thread, thread.thread_id, point.namespace, point.checkpoint_id, point.parent_id, point.channels,
  point.kind, point.document, point.created_at, (
    SELECT array_agg(ARRAY[convert_to(task_id, 'UTF8'), convert_to(task_path, 'UTF8'), int4send(idx),
      convert_to(channel, 'UTF8'), convert_to(kind, 'UTF8'), data] ORDER BY task_path, task_id, idx)
    FROM workbench.graph_writes AS writes WHERE writes.thread = point.thread AND writes.namespace = point.namespace
      AND writes.checkpoint_id = point.checkpoint_id)
FROM workbench.graph_checkpoints AS point JOIN workbench.graph_threads AS thread ON thread.id = point.thread
"""

NEWEST = f"""{FIELDS}
WHERE thread.thread_id = %(thread_id)s AND point.namespace = %(namespace)s ORDER BY point.checkpoint_id DESC LIMIT 1
"""

ONE = f"""{FIELDS}
WHERE thread.thread_id = %(thread_id)s AND point.namespace = %(namespace)s
  AND point.checkpoint_id = %(checkpoint_id)s
"""

LIST = f"""{FIELDS}
WHERE (%(thread_id)s::text IS NULL OR thread.thread_id = %(thread_id)s)
  AND (%(namespace)s::text IS NULL OR point.namespace = %(namespace)s)
  AND (%(checkpoint_id)s::text IS NULL OR point.checkpoint_id = %(checkpoint_id)s)
  AND (%(before)s::text IS NULL OR point.checkpoint_id < %(before)s)
  AND (%(metadata)s::jsonb IS NULL OR point.metadata @> %(metadata)s::jsonb)
  AND (%(after)s::text IS NULL
    OR (point.checkpoint_id, point.thread, point.namespace)
      < (%(after)s, %(after_thread)s::uuid, %(after_namespace)s::text))
ORDER BY point.checkpoint_id DESC, point.thread DESC, point.namespace DESC LIMIT %(limit)s
"""

HISTORY = f"""{FIELDS}
WHERE point.thread = %(thread)s
  AND (point.namespace, point.checkpoint_id) IN (SELECT * FROM unnest(%(spaces)s::text[], %(ids)s::text[]))
ORDER BY point.checkpoint_id, point.namespace
"""

VERSIONS = """
SELECT CASE WHEN NOT is_before THEN namespace END, CASE WHEN NOT is_before THEN checkpoint_id END,
  count(*), sum(1 + n_writes)::bigint, sum(version + writes_version)::bigint
FROM (
  SELECT namespace, checkpoint_id, point.xmin::text::bigint AS version, coalesce(wrote.n, 0) AS n_writes,
    coalesce(wrote.version, 0) AS writes_version, coalesce(checkpoint_id < first.id COLLATE "C", false) AS is_before
  FROM workbench.graph_checkpoints AS point LEFT JOIN (
    SELECT namespace, checkpoint_id, count(*) AS n, sum(xmin::text::bigint) AS version FROM workbench.graph_writes
    WHERE thread = %(thread)s GROUP BY namespace, checkpoint_id
  ) AS wrote USING (namespace, checkpoint_id)
  LEFT JOIN unnest(%(spaces)s::text[], %(firsts)s::text[]) AS first (namespace, id) USING (namespace)
  WHERE thread = %(thread)s
) AS told GROUP BY 1, 2 ORDER BY 2, 1
"""

ANCESTRY = f"""
WITH RECURSIVE line AS (
  SELECT point.thread, point.namespace, point.parent_id, '{{}}'::text[] AS had, 0 AS n
  FROM workbench.graph_checkpoints AS point JOIN workbench.graph_threads AS thread ON thread.id = point.thread
  WHERE thread.thread_id = %(thread_id)s AND point.namespace = %(namespace)s
    AND point.checkpoint_id = %(checkpoint_id)s
  UNION ALL
  SELECT above.thread, above.namespace, above.parent_id,
    line.had || ARRAY(SELECT jsonb_object_keys(above.channels)), line.n + 1
  FROM line JOIN workbench.graph_checkpoints AS above
    ON above.thread = line.thread AND above.namespace = line.namespace AND above.checkpoint_id = line.parent_id
  WHERE NOT line.had @> %(channels)s::text[])
SELECT found.* FROM line CROSS JOIN LATERAL ({FIELDS}
  WHERE point.thread = line.thread AND point.namespace = line.namespace AND point.checkpoint_id = line.parent_id
) AS found WHERE NOT line.had @> %(channels)s::text[] ORDER BY line.n
"""

CHAINS = """
WITH RECURSIVE chain AS (
  SELECT digest, base, position, kind, data FROM workbench.graph_values
  WHERE thread = %(thread)s AND digest = ANY(%(digests)b::bytea[])
  UNION
  SELECT under.digest, under.base, under.position, under.kind, under.data FROM chain
  JOIN workbench.graph_values AS under ON under.thread = %(thread)s AND under.digest = chain.base)
SELECT * FROM chain
"""

LINE = """
WITH RECURSIVE chain AS (
  SELECT thread, digest, base, position FROM workbench.graph_values
  WHERE thread = (SELECT id FROM workbench.graph_threads WHERE thread_id = %(thread_id)s) AND digest = %(digest)s
  UNION ALL
  SELECT under.thread, under.digest, under.base, under.position FROM chain
  JOIN workbench.graph_values AS under ON under.thread = chain.thread AND under.digest = chain.base)
SELECT digest, base, position FROM chain
"""

DELETE_THREADS = "DELETE FROM workbench.graph_threads WHERE thread_id = ANY(%(threads)s) RETURNING executions"

BOTH = """
FROM workbench.graph_threads AS source, workbench.graph_threads AS target, {table} AS old
WHERE source.thread_id = %(source)s AND target.thread_id = %(thread_id)s AND old.thread = source.id
ON CONFLICT DO NOTHING
"""

COPY_VALUES = f"""
INSERT INTO workbench.graph_values (thread, digest, base, position, kind, data)
SELECT target.id, old.digest, old.base, old.position, old.kind, old.data {BOTH.format(table="workbench.graph_values")}
"""

COPY_CHECKPOINTS = f"""
INSERT INTO workbench.graph_checkpoints
  (thread, namespace, checkpoint_id, parent_id, run_id, metadata, channels, kind, document, created_at)
SELECT target.id, old.namespace, old.checkpoint_id, old.parent_id, old.run_id, old.metadata, old.channels, old.kind,
  old.document, old.created_at {BOTH.format(table="workbench.graph_checkpoints")}
"""

COPY_WRITES = f"""
INSERT INTO workbench.graph_writes
  (thread, namespace, checkpoint_id, task_id, idx, task_path, channel, kind, data)
SELECT target.id, old.namespace, old.checkpoint_id, old.task_id, old.idx, old.task_path, old.channel, old.kind,
  old.data {BOTH.format(table="workbench.graph_writes")}
"""

THREADS_OF_RUNS = """
SELECT DISTINCT thread.thread_id FROM workbench.graph_checkpoints AS point
JOIN workbench.graph_threads AS thread ON thread.id = point.thread WHERE point.run_id = ANY(%s) ORDER BY 1
"""

DELETE_OF_RUNS = """
DELETE FROM workbench.graph_checkpoints WHERE thread = %(thread)s AND run_id = ANY(%(runs)s)
RETURNING namespace, checkpoint_id
"""

DELETE_OTHERS = """
DELETE FROM workbench.graph_checkpoints WHERE thread = %(thread)s AND namespace = %(namespace)s
  AND checkpoint_id < %(newest)s AND checkpoint_id <> ALL(%(kept)s::text[])
RETURNING namespace, checkpoint_id
"""

CUT_PARENTS = """
UPDATE workbench.graph_checkpoints AS point SET parent_id = NULL
WHERE thread = %(thread)s AND namespace = %(namespace)s AND parent_id IS NOT NULL AND NOT EXISTS (
  SELECT FROM workbench.graph_checkpoints AS above WHERE above.thread = point.thread
    AND above.namespace = point.namespace AND above.checkpoint_id = point.parent_id)
"""

CLEAR_WRITES = """
DELETE FROM workbench.graph_writes WHERE thread = %(thread)s AND (namespace, checkpoint_id) IN (
  SELECT * FROM unnest(%(spaces)s::text[], %(ids)s::text[]))
"""

CLEAR_VALUES = """
WITH RECURSIVE used AS (
  SELECT decode(channel.value, 'hex') AS digest
  FROM workbench.graph_checkpoints AS point, jsonb_each_text(point.channels) AS channel
  WHERE point.thread = %(thread)s AND channel.value IS NOT NULL
  UNION
  SELECT under.base FROM used JOIN workbench.graph_values AS under
    ON under.thread = %(thread)s AND under.digest = used.digest WHERE under.base IS NOT NULL)
DELETE FROM workbench.graph_values WHERE thread = %(thread)s AND digest NOT IN (SELECT digest FROM used)
"""
