"""The HTML report: one file that shows what the suites measured. Each module makes what one template draws."""
