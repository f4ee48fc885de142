"""Page tables of a guest's own: ordinary Python, compiled with the service, trusted by nobody.

A guest that has turned its virtual MMU on (`machine.mmu`) is told of every miss and writes TLB entries as it likes. The
kernel knows no page table; which format a guest uses is its own affair. Here are two with the same three functions, and
a third file for what one may do with them:

    radix      two levels of tables, indexed by the page's number: quick, and memory for what is near each other
    inverted   one hash table for all pages, as large as there are frames: memory for what is bound, however far apart
    frames     a guest's stock of frames

An entry is a physical address with `Right` bits in it; 0 is "none".
"""
