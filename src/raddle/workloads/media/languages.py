"""Codes of languages: the two letters of ISO 639-1 and the three of 639-2/B, 639-2/T and 639-3 mean the same.

The tables hold what the registration authorities publish (ISO 639-1 and 639-2: Library of Congress, ISO 639-3: SIL
International), as of pycountry 26.2: the pairs of codes, and which three letters are a code at all.
"""

from __future__ import annotations

import base64
import difflib
from functools import cache, lru_cache
from typing import Final

__all__ = ["UNDETERMINED", "canonical", "nearest", "normal"]

UNDETERMINED: Final = "und"

#: 639-1/639-2T[/639-2B]=English name
_PAIRS: Final = """
aa/aar=Afar ab/abk=Abkhazian ae/ave=Avestan af/afr=Afrikaans ak/aka=Akan am/amh=Amharic an/arg=Aragonese ar/ara=Arabic
as/asm=Assamese av/ava=Avaric ay/aym=Aymara az/aze=Azerbaijani ba/bak=Bashkir be/bel=Belarusian bg/bul=Bulgarian
bi/bis=Bislama bm/bam=Bambara bn/ben=Bangla bo/bod/tib=Tibetan br/bre=Breton bs/bos=Bosnian ca/cat=Catalan
ce/che=Chechen ch/cha=Chamorro co/cos=Corsican cr/cre=Cree cs/ces/cze=Czech cu/chu=Church-Slavic cv/chv=Chuvash
cy/cym/wel=Welsh da/dan=Danish de/deu/ger=German dv/div=Divehi dz/dzo=Dzongkha ee/ewe=Ewe el/ell/gre=Greek
en/eng=English eo/epo=Esperanto es/spa=Spanish et/est=Estonian eu/eus/baq=Basque fa/fas/per=Persian ff/ful=Fulah
fi/fin=Finnish fj/fij=Fijian fo/fao=Faroese fr/fra/fre=French fy/fry=Western-Frisian ga/gle=Irish
gd/gla=Scottish-Gaelic gl/glg=Galician gn/grn=Guarani gu/guj=Gujarati gv/glv=Manx ha/hau=Hausa he/heb=Hebrew
hi/hin=Hindi ho/hmo=Hiri-Motu hr/hrv=Croatian ht/hat=Haitian hu/hun=Hungarian hy/hye/arm=Armenian hz/her=Herero
ia/ina=Interlingua id/ind=Indonesian ie/ile=Interlingue ig/ibo=Igbo ii/iii=Sichuan-Yi ik/ipk=Inupiaq io/ido=Ido
is/isl/ice=Icelandic it/ita=Italian iu/iku=Inuktitut ja/jpn=Japanese jv/jav=Javanese ka/kat/geo=Georgian kg/kon=Kongo
ki/kik=Kikuyu kj/kua=Kuanyama kk/kaz=Kazakh kl/kal=Kalaallisut km/khm=Khmer kn/kan=Kannada ko/kor=Korean kr/kau=Kanuri
ks/kas=Kashmiri ku/kur=Kurdish kv/kom=Komi kw/cor=Cornish ky/kir=Kirghiz la/lat=Latin lb/ltz=Luxembourgish
lg/lug=Ganda li/lim=Limburgan ln/lin=Lingala lo/lao=Lao lt/lit=Lithuanian lu/lub=Luba-Katanga lv/lav=Latvian
mg/mlg=Malagasy mh/mah=Marshallese mi/mri/mao=Maori mk/mkd/mac=Macedonian ml/mal=Malayalam mn/mon=Mongolian
mr/mar=Marathi ms/msa/may=Malay mt/mlt=Maltese my/mya/bur=Burmese na/nau=Nauru nb/nob=Norwegian-Bokmal
nd/nde=North-Ndebele ne/nep=Nepali ng/ndo=Ndonga nl/nld/dut=Dutch nn/nno=Norwegian-Nynorsk no/nor=Norwegian
nr/nbl=South-Ndebele nv/nav=Navajo ny/nya=Chichewa oc/oci=Occitan oj/oji=Ojibwa om/orm=Oromo or/ori=Oriya
os/oss=Ossetian pa/pan=Panjabi pi/pli=Pali pl/pol=Polish ps/pus=Pushto pt/por=Portuguese qu/que=Quechua rm/roh=Romansh
rn/run=Rundi ro/ron/rum=Romanian ru/rus=Russian rw/kin=Kinyarwanda sa/san=Sanskrit sc/srd=Sardinian sd/snd=Sindhi
se/sme=Northern-Sami sg/sag=Sango sh/hbs=Serbo-Croatian si/sin=Sinhala sk/slk/slo=Slovak sl/slv=Slovenian
sm/smo=Samoan sn/sna=Shona so/som=Somali sq/sqi/alb=Albanian sr/srp=Serbian ss/ssw=Swati st/sot=Southern-Sotho
su/sun=Sundanese sv/swe=Swedish sw/swa=Swahili ta/tam=Tamil te/tel=Telugu tg/tgk=Tajik th/tha=Thai ti/tir=Tigrinya
tk/tuk=Turkmen tl/tgl=Tagalog tn/tsn=Tswana to/ton=Tonga tr/tur=Turkish ts/tso=Tsonga tt/tat=Tatar tw/twi=Twi
ty/tah=Tahitian ug/uig=Uighur uk/ukr=Ukrainian ur/urd=Urdu uz/uzb=Uzbek ve/ven=Venda vi/vie=Vietnamese vo/vol=Volapuk
wa/wln=Walloon wo/wol=Wolof xh/xho=Xhosa yi/yid=Yiddish yo/yor=Yoruba za/zha=Zhuang zh/zho/chi=Chinese zu/zul=Zulu
"""

#: one bit per three letters, aaa first, the least bit of a byte first: set when 639-3 has the code
_KNOWN: Final = (
    "/+3f/v//v9v7//7a9x88V2uXe/j/9/9wvwP//8sFhVD5//1/7//39/////////fjqf///0y0Cn6/33/////X///P/9tv9PFwXeefFAcg3/0fbskheO9v"
    "3///f///f///////3/////d/7///7/+/x////b//7f////6/////79///fv//3f////+///////3///1z////9/////+///f///f+f//7v/////+7zu9"
    "/cWtLUDsnMFDJAwlQQBQRADAv//+n7RCRdaTJIj3e+cXV1F5Dhw3f/Pv/+9RGGUIAAD8/73///9+Nz7Hh8/7AYEAsAWAACAAAANQAACSIdD9d+/e/l4E"
    "AAJkjRnBn3sjAAAA323OIuXZ8/5//8+dFEEEhgDRAPDHZV/WmV637e8DAAIAAACAV1pHkm0BLtZ7dN9/fwAAAAEEVgMAALAUJ1EWGgABAAAQEUkAAGAQ"
    "AAAAEAAARAQAEIAFEAAABQCAKAQAABDVLRBkFyRTtdW/480DAIAAQBAAAAAABBc5Ad3XkSGYpwgABECCAAABBAAAAAIBQABEAACw/u85AAIAAAAEAAAA"
    "AAAgAEAEAAAAAgAAABCjqgQAAAAABCAEpggEAAiBUAAACDEGQAAAAABAQAP1QxAIBAAAAOC7sxMAgAARAAAAAAAAAAAAAAAA///f7//fz4OiwP/fJ+8P"
    "5QMQILDFgEUlmwPfud8D0EiQAQ7Bt5Ncyziyf/9t+f//fwQIAAEhEjzP/Q+FT0QAAAT//9/W6Bv0N6MNAAAge3kCB4QA8P///wAYBYEAAACAELQcIQAA"
    "AAAAEEAABAi0/qYMQAAAkSQEbABg8P//d/YcBZ/bbgMAEQAAAEAFNb6CKAQABFHi//8/BQkIBUAAAAAAEAEABAAAAAAhAmzjSRSIIMBHkAcAAADMUEAk"
    "hUeEQCAQACEAUIgQANns71Q1DQFpDi3rMwgAIAVAEQAAAFBAlkjW3afDRpf7ABAACACAAEBFAAECAAFAgABCCPjr1zvEnRYAAAwEASAg2aIBAAAAEkQA"
    "AAQQ8J2VEwSAAAHQFkAAEPCQYkzSAgFKAEYEgAgAACDAAIAGAAgAAAAA8NjvFQIIAAABAAAAABABABAAAAD///1///////9//+/2////////P/f+37//"
    "/////3////7//////////////f/f3//3/9///////7767/////9/////////7///7//r/fv/////9d//v/+/3d//vJgFLP8H8Pv/fwAIAMN9HwbmcvDv"
    "/39EIjCfex79/1by/z7f8g6V9///R4ABAgAgQFWfip/5bhGHUfj//3dAAwXRWFwAQAAQBAIAIAqA+z///v7////////v/7//f/////////ff//f//997"
    "////9////f+////7///e333///f///f/////////f////3/f37/vt/9/3//n////9972f///f+f///f/X/9/n/7///9//38CggTfv///1++///f/4p7n"
    "//f/dn3F////////3v+vfw+nUQbEl9Bdr6b//f8jXUvf//8/IBQAV1HCZfUN8v//30KFxQUEIgB0aRAYBUEAAQYAAAAAAFFgBQQBAAAGESAAGAWS8f1n"
    "awaVBkft2k2de4MEYkAAFUIAAABUx/lfEM7JRs/3ExEAIAAAAJAAAAAAAAoQAAFAAODff799vk//v0AUhGGw/116BAIASS0UJvvt8a/vPwAAAsfgHny3"
    "/b279/z3///0/e9B9HcQAAEAf9+33flfBYbv9Tf9HQAAAENxQgBAAAABQxkkCAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP+951fuE10IwUAh+hcBgAAAAADw/v+/ACMAIAAACAAAMLXjEAAAABEkFgABAjCCowFQAAGDEUgAAADw39+/"
    "EqoQ/vhSAIAgAAAAAEAUAgI8QBBCEGFf3jEAAAABXAIgAAABAEIBIAAA/3b/////L9/ez737p//vf0tAEPF96f33///7v/d/8XvxP/8//6//9/7/9/3f"
    "//39/1f/b4F1n/z3/+/////+/19XZ+9fUBBy//+fFZ8VB33GXaGS9e//f/+////93f//vfbf/z9AmAK/7//n9v5c/v9/0D4Ve7j/vv//9r/393P//+7/"
    "99f97y6Av8X//v/f///////9/3d7Rh93//nbXc99Frnqe6AeIAAwAgQkSAQAAEDUBgQAAAQABAAwCQZQAAgAQAAkAAQAENx4100PVE/xFmTVSAoAAgBA"
    "AAgAAAD89+sfWEhBJKAEABASQCIAEAAAAAAAAAEAAAiAEBC/b5MAAQAAAAAAAADAgC8AAAAAAAAKAAAAwIfCAgABAAH+GAIAEvD/eT8AJQAACAoAAAAA"
    "AABAABADACkgAAABAACDAAAAAAEAAAAAAAAAAAAAAAD/+//Pfr4REAAAkgFGzdFeAAEAMBQEURABBPY/MgUEALCAIFV1n33fccx41UP112cUAQAAAAAA"
    "CPfbH1Rgg2gFEIs4ugEAADAAJEQAABACMQIBAADw9f+X17xQ1nh6FVAFpITpQQAAAGsZUnRA6SCQYpIAAAJ/7/9/hVP07///8N3HTPVC/P//HwCAwFaM"
    "Fp/7M33v/7WkrwFEGAFdTkoIUCgw4IAQICQA////T/4BBogqQBYBABULPgEAABCQaUUCAgHpv78CAAAQ3KfRVJ5E3v2HbrFVINSj2DA8gAAAAEzwEcWE"
    "b1AAIlB/v8sHACAQhLJFEAZEAAASAhEA8P/9fwUCFokAAAAIABAMAwAAAACDMAIshAExwAMkAAAAyeQ6BshE8P//fxQBAYRQB/z//w8BAEAQOAEBHBJA"
    "4XYGiAMQAAAAAQAAAAAAIiQKQIAAAA=="
)

#: the variety of 639-3 that is meant when the language is named without more
_STANDARD: Final = {
    "als": "alb", "arb": "ara", "azj": "aze", "cmn": "chi", "ekk": "est", "gug": "grn", "ike": "iku", "khk": "mon",
    "lvs": "lav", "npi": "nep", "ory": "ori", "pes": "per", "plt": "mlg", "swh": "swa", "uzn": "uzb", "ydd": "yid",
    "zsm": "may",
}  # fmt: skip


@cache
def _codes() -> dict[str, str]:
    """Every code that has another spelling, to the one of 639-2/B."""
    codes = dict(_STANDARD)
    for entry in _PAIRS.split():
        spellings = entry.partition("=")[0].split("/")
        codes.update(dict.fromkeys(spellings, spellings[-1]))
    return codes


@cache
def _names() -> dict[str, str]:
    """English names in small letters, to 639-2/B."""
    names = (entry.partition("=") for entry in _PAIRS.split())
    return {name.lower(): codes.split("/")[-1] for codes, _, name in names}


@cache
def _bits() -> bytes:
    return base64.b64decode(_KNOWN)


def _in_iso_639_3(code: str) -> bool:
    if len(code) != 3 or not (code.isascii() and code.isalpha()):  # noqa: PLR2004 - three letters are the format
        return False
    first, second, third = (ord(letter) - ord("a") for letter in code)
    place = (first * 26 + second) * 26 + third
    return bool(_bits()[place // 8] >> place % 8 & 1)


def canonical(code: str) -> str | None:
    """Return the 639-2/B code (the 639-3 one where 639-2 has none) of a code in any spelling; None: there is none.

    Case does not matter, and of a tag like "pt-BR" the language counts. `qaa` to `qtz` are free for local use.
    """
    base = code.strip().lower().replace("_", "-").partition("-")[0]
    if base in _codes():
        return _codes()[base]
    local = len(base) == 3 and "qaa" <= base <= "qtz" and base.isalpha()  # noqa: PLR2004 - as above
    return base if local or _in_iso_639_3(base) else None


@lru_cache(maxsize=4096)
def normal(code: str) -> str:
    """Return what a file says as a code to compare with: as `canonical`, "und" for nothing, else as it stands."""
    text = code.strip().lower()
    return canonical(text) or text or UNDETERMINED


def nearest(word: str) -> str | None:
    """Return the code that was perhaps meant by a word that is none: "english", "engl" -> "eng"."""
    small = word.strip().lower()
    names = _names()
    if small in names:
        return names[small]
    close = difflib.get_close_matches(small, [*names, *_codes().values()], n=1, cutoff=0.6)
    return names.get(close[0], close[0]) if close else None
