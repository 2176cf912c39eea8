"""The benchmarks of the field: verification sets, templates, quality scores, and a model before and after."""
