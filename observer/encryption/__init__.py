"""Client-side encryption: what a run records is encrypted before the journal, and the database never has the key.

A project has a wrapping key, held by a key provider (a file of this account, or a Vault) that wraps data keys. A data
key encrypts: config fields by MongoDB's own library (Binary of subtype 6), console pieces and files by AES-256-GCM.
"""
