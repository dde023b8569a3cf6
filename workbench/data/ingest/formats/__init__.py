"""One module per format of agent history, each of the same shape.

``FORMAT`` is its name, ``TITLE`` what it is called in lists; ``detect(head)`` says how surely a file is one of these,
and ``read(source)`` gives its runs. ``HAS_PARENTS = True`` where a run may name the run that started it;
``lines(source)``, ``rejoin(source_id, steps)`` or ``settle(run)`` where several files may hold parts of one run;
``is_open(step)`` where steps are spans, for one that has no end; ``MARKS = True`` where the reader sets the marks of
its steps itself. A part of a reader that is a noun of its own has a file beside it: ``claude_code``, ``claude_line``.
``workbench.data.ingest.READERS`` has all names.
"""
