"""The journal: one append-only, hash-chained `journal.sqlite` per paper run.

records   what a record is: types, required fields, canonical encoding, order ids
rows      NumPy records to JSON rows and back, to the last bit
entries   one builder per record type
chain     the hash of a record and the chain it makes; merkle the tree over it
store     SQLite: the table, the pragmas, reading while another process writes
log       Journal: the single writer
parent_runs  the head of the run before, named and looked up again
anchor    heads copied to a second place; head_sender hands them to a program or to syslog
meaning   what a journal must say, beyond matching hashes; orders folds the life of each order
verify    checks all of it, in a process of its own
story     one order's whole story; lookup finds the order, show prints it
spool     kill records that could not be appended at the time
"""
