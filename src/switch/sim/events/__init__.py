"""Events: occasions of a nation, played from the preparation of their tables to closed dossiers,
and judged by what whoever made the tables knows."""
