"""Pages that change something: a preview of the plan, then a form that carries out just that."""
