"""Files, trees and pointers in DVC's formats. Knows nothing of pipelines."""
