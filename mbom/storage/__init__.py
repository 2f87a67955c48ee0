"""Writing so that a crash, a full disk or a second run leaves what was there, or what was meant, and nothing between.

Everything that mbom leaves on a disk goes through here: files (``files``), folders that count as one thing
(``folders``), and the locks that keep two runs off one output (``locks``). Nothing here knows what is in the files.
"""
