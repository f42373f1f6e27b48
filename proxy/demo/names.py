"""The people of the demo: who the traffic is from, and who the seeded data is about."""

from __future__ import annotations

_READERS = """
ana ben cleo dan eva finn gus hana ivo jana kai lena max nora otto pia quinn rosa sam tess uma vera will xena yuri
zoe abel ada aino alma amir anke anna ari arno asta axel bea bela bo britt cai cara carl cora dag dara dora ed edda
egon ella elsa emil enno erik esra eve fay felix fritz gina greta hal hedy hugo ida ilse ines ira iris jan jim jo
jonas jule kara karl kim klara kurt lara lars leo lilo lina lou luca lucy luis maja mara mia mila mina moe nele
"""
_FAMILIES = """
Acker Berg Castell Dorn Ebner Falk Gruber Hoff Imhof Jansen Kern Lind Moser Noll Orth Pohl Quast Roth Stern
Thal Urban Vogel Winter Young Zander
"""
READERS = tuple(_READERS.split())  # what stands in x-user-id; a hundred, so that one of them is one percent
FAMILIES = tuple(_FAMILIES.split())
