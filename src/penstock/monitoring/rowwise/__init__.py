"""What is judged on whole rows: samples of them, multivariate drift, outliers, slices, and why quality dropped."""
