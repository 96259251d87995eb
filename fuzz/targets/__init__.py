"""The targets, a module each; those with an underscore hold what two of them share.
`fuzz.catalogue` names them all."""
