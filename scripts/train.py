"""The same as the console command `regnet-train`."""

from regnet.__main__ import train

if __name__ == "__main__":
    train()
