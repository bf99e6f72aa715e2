"""What everything else stands on: errors, settings, facts, processes, folders."""
