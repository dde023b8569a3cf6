"""From runs of the normal form to rows: made, compared with what is stored, linked, counted."""
