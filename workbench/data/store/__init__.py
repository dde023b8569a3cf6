"""Where everything is kept: Postgres, embedded or any other, and its schema.

``server`` starts and stops the embedded one (``cluster`` its files, ``locks``, ``system_user``) · ``address`` takes a
URL apart · ``engine`` has the open :class:`~workbench.data.store.engine.Store` · ``failures`` says its errors
in our words · ``tables`` is the schema, ``schema`` its versions (``migrations``) · ``records`` and ``repository`` are
validated rows · ``copy`` is the one bulk writer · ``snapshots`` keeps states as patches · ``storable`` makes storable
what JSON columns refuse · ``health`` tells what is well.
"""
