"""Many runs: what is to do, by processes of this machine or jobs of a cluster, and their state."""
