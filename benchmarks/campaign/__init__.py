"""A measuring campaign: its options and plan, how it runs, resumes and is saved."""
