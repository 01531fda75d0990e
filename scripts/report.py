"""The same as the console command `regnet-report`."""

from regnet.__main__ import report

if __name__ == "__main__":
    report()
