"""Write the report of saved runs: sections, charts and the page. Read no options and print nothing."""
