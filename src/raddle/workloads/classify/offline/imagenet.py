"""Which of the 1,000 ImageNet classes are things that a home or a shop for homes has, by number.

Numbers and names are those of the ILSVRC 2012 classes, whose names are WordNet's first lemmas (http://image-net.org).
"""

from __future__ import annotations

from typing import Final

__all__ = ["CLASS_NAMES"]

_TABLE: Final = """
409 analog clock, 411 apron, 412 ashcan, 414 backpack, 423 barber chair, 426 barometer, 427 barrel, 431 bassinet,
434 bath towel, 435 bathtub, 438 beaker, 446 binder, 453 bookcase, 463 bucket, 470 candle, 478 carton,
482 cassette player, 485 CD player, 488 chain, 492 chest, 493 chiffonier, 495 china cabinet, 497 church, 504 coffee mug,
505 coffeepot, 508 computer keyboard, 516 cradle, 519 crate, 520 crib, 526 desk, 527 desktop computer,
530 digital clock, 532 dining table, 534 dishwasher, 539 doormat, 545 electric fan, 548 entertainment center,
550 espresso maker, 553 file,
556 fire screen, 559 folding chair, 562 fountain, 564 four-poster, 567 frying pan, 579 grand piano, 588 hamper,
604 hourglass, 606 iron, 618 ladle, 619 lampshade, 620 laptop, 621 lawn mower, 624 library, 632 loudspeaker,
637 mailbox, 643 mask, 646 maze, 648 medicine chest, 651 microwave, 659 mixing bowl, 664 monitor, 669 mosquito net,
682 obelisk, 700 paper towel, 703 park bench, 706 patio, 708 pedestal, 711 perfume, 716 picket fence, 721 pillow,
725 pitcher, 729 plate rack, 735 poncho, 736 pool table, 738 pot, 741 prayer rug, 742 printer, 745 projector, 750 quilt,
753 radiator, 754 radio, 760 refrigerator, 761 remote control, 765 rocking chair, 771 safe, 778 scale, 782 screen,
786 sewing machine, 789 shoji, 790 shopping basket, 794 shower curtain, 797 sleeping bag, 799 sliding door,
804 soap dispenser, 809 soup bowl, 811 space heater, 818 spotlight, 827 stove, 831 studio couch, 843 swing, 844 switch,
846 table lamp, 849 teapot, 850 teddy, 851 television, 854 theater curtain, 857 throne, 859 toaster, 861 toilet seat,
862 torch, 868 tray, 876 tub, 879 umbrella, 882 vacuum, 883 vase, 886 vending machine, 892 wall clock, 894 wardrobe,
896 washbasin, 897 washer, 899 water jug, 904 window screen, 905 window shade, 921 book jacket, 923 plate,
985 daisy, 999 toilet tissue
"""

#: name to number
CLASS_NAMES: Final = {
    name.strip(): int(number) for number, _, name in (one.strip().partition(" ") for one in _TABLE.split(","))
}
