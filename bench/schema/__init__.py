"""What a suite file may say: pydantic models, and errors with file and line. Imports no torch."""
