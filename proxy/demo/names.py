"""The people of the demo: who the traffic is from, and who the seeded data is about."""

from __future__ import annotations

# With any names some more or fewer than the weight says are moved, as with dice; these are picked so that at the
# steps of the story it is exactly as many: the golden buckets of `core.assign` say so, and a test repeats it.
_READERS = """
ana ben cleo dan eva finn gus hana ivo jana kai lena max nora otto pia quinn rosa sam tess uma vera will xena yuri zoe
abel ada aino alma amir anke anna ari arno asta axel bea bela bo britt cai cara carl cora dag dara dora ed edda egon
ella elsa emil enno erik esra eve fay felix fritz gina greta hal hedy hugo ida ilse ines ira iris jan jim jo jonas
jule kara karl kim klara kurt lara leo lilo lina luca lucy maja mara mia nele nia nils ole oskar ralf ron theo tilo
zara
"""
_FAMILIES = """
Acker Berg Castell Dorn Ebner Falk Gruber Hoff Imhof Jansen Kern Lind Moser Noll Orth Pohl Quast Roth Stern
Thal Urban Vogel Winter Young Zander
"""
READERS = tuple(_READERS.split())  # what stands in x-user-id; a hundred, so that one of them is one percent
FAMILIES = tuple(_FAMILIES.split())
