"""What the broker has to survive, a scenario to a file: NAME, and play(stage), which says what it does, states the bound of the
broker's memory, does it, and takes away again what it brought."""

from . import all_protocols, connections, declare_a_million, fast_publisher, kills, never_acks, slowloris

ALL = [connections, slowloris, fast_publisher, never_acks, declare_a_million, all_protocols, kills]
