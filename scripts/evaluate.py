"""The same as the console command `regnet-evaluate`."""

from regnet.commands.evaluate import main

if __name__ == "__main__":
    main()
