"""A thread that goes on through every crash of the broker."""

import threading
import time


class Worker(threading.Thread):
    """Does its work on connections that `connect()` makes, again and again, until told to stop. What `LOST` names ends a connection,
    not the worker."""

    LOST = (ConnectionError, TimeoutError, OSError, EOFError)

    def __init__(self, connect):
        super().__init__(daemon=True)
        self.connect, self.stopping, self.failure = connect, threading.Event(), None

    def run(self):
        try:
            while not self.is_done():
                try:
                    client = self.connect()
                except self.LOST:
                    time.sleep(0.02)
                    continue
                try:
                    self.work(client)
                except self.LOST as error:
                    self.lost(error)
                finally:
                    client.drop()
        except Exception as error:  # A bug of the tests must not look like silence.
            self.failure = error
            raise

    def is_done(self):
        return self.stopping.is_set()

    def lost(self, error):
        """A connection ended, which is what a kill does."""

    def stop(self, timeout=20):
        self.stopping.set()
        self.join(timeout)
        assert not self.is_alive() and self.failure is None, self.failure
