"""The same as the console command `regnet-evaluate`."""

from regnet.evaluate import main

if __name__ == "__main__":
    main()
