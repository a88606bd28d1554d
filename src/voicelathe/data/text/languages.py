"""One name for one language: manifests say English, ENGLISH, eng, eng_Latn or en_US, and all of them are `en`, the last in its region.

The form is BCP 47's, with its usual case: language, script where it is not the usual one, region. Rules that pool by language ask for
`primary`. A name that is not known here is kept as it is written and said to be unknown.
"""

import re
from functools import cache

from voicelathe.data.text import characters

# ISO 639-1 (639-3 where there is none), further codes (639-2, 639-3), English name, own name.
TABLE = """
af afr Afrikaans Afrikaans
am amh Amharic አማርኛ
ar ara,arb Arabic العربية
as asm Assamese অসমীয়া
az aze,azj Azerbaijani azərbaycan
be bel Belarusian беларуская
bg bul Bulgarian български
bn ben Bengali,Bangla বাংলা
bo bod,tib Tibetan བོད་སྐད
bs bos Bosnian bosanski
ca cat Catalan,Valencian català
ceb ceb Cebuano Cebuano
cs ces,cze,cz Czech čeština
cy cym,wel Welsh Cymraeg
da dan,dk Danish dansk
de deu,ger German Deutsch
el ell,gre,gr Greek,Modern_Greek Ελληνικά
en eng English English
eo epo Esperanto Esperanto
es spa Spanish,Castilian,castellano,espanol español
et est,ekk Estonian eesti
eu eus,baq Basque euskara
fa fas,per,pes Persian,Farsi فارسی
fi fin Finnish suomi
fil fil,tgl,tl Filipino,Tagalog Filipino
fr fra,fre French,francais français
ga gle Irish Gaeilge
gd gla Scottish_Gaelic Gàidhlig
gl glg Galician galego
gu guj Gujarati ગુજરાતી
ha hau Hausa Hausa
he heb,iw Hebrew עברית
hi hin Hindi हिन्दी
hr hrv Croatian hrvatski
hu hun Hungarian magyar
hy hye,arm Armenian հայերեն
id ind,in Indonesian Indonesia
ig ibo Igbo Igbo
is isl,ice Icelandic íslenska
it ita Italian italiano
ja jpn,jp Japanese 日本語
jv jav,jw Javanese Jawa
ka kat,geo Georgian ქართული
kk kaz Kazakh қазақ
km khm Khmer ខ្មែរ
kn kan Kannada ಕನ್ನಡ
ko kor,kr Korean 한국어
ky kir Kyrgyz,Kirghiz кыргызча
lb ltz Luxembourgish Lëtzebuergesch
lo lao Lao ລາວ
lt lit Lithuanian lietuvių
lv lav,lvs Latvian latviešu
mg mlg,plt Malagasy Malagasy
mi mri,mao Maori Māori
mk mkd,mac Macedonian македонски
ml mal Malayalam മലയാളം
mn mon,khk Mongolian монгол
mr mar Marathi मराठी
ms msa,may,zsm Malay Melayu
mt mlt Maltese Malti
my mya,bur Burmese,Myanmar မြန်မာ
nb nob Norwegian_Bokmål,Norwegian_Bokmal,Bokmål,Bokmal bokmål
ne nep,npi Nepali नेपाली
nl nld,dut Dutch,Flemish Nederlands
nn nno Norwegian_Nynorsk,Nynorsk nynorsk
no nor Norwegian norsk
oc oci Occitan occitan
or ori,ory Odia,Oriya ଓଡ଼ିଆ
pa pan Punjabi,Panjabi ਪੰਜਾਬੀ
pl pol Polish polski
ps pus,pbt Pashto,Pushto پښتو
pt por Portuguese,portugues português
ro ron,rum,mo Romanian,Moldovan,Moldavian română
ru rus Russian русский
sd snd Sindhi سنڌي
si sin Sinhala,Sinhalese සිංහල
sk slk,slo Slovak slovenčina
sl slv Slovenian,Slovene slovenščina
sn sna Shona chiShona
so som Somali Soomaali
sq sqi,alb,als Albanian shqip
sr srp,scc Serbian српски
su sun Sundanese Sunda
sv swe Swedish svenska
sw swa,swh Swahili Kiswahili
ta tam Tamil தமிழ்
te tel Telugu తెలుగు
tg tgk Tajik тоҷикӣ
th tha Thai ไทย
tk tuk Turkmen türkmen
tr tur Turkish,turkce Türkçe
tt tat Tatar татар
uk ukr,ua Ukrainian українська
ur urd Urdu اردو
uz uzb,uzn Uzbek o‘zbek
vi vie Vietnamese,tieng_viet Tiếng_Việt
xh xho Xhosa isiXhosa
yi yid,ji Yiddish ייִדיש
yo yor Yoruba Yorùbá
yue yue Cantonese,粤语,广东话,廣東話 粵語
zh zho,chi,cmn,cn Chinese,Mandarin,Mandarin_Chinese,普通话,普通話,汉语,漢語,国语,國語 中文
zu zul Zulu isiZulu
"""
USUAL_SCRIPT = {  # that a tag leaves out (BCP 47, Suppress-Script, and the only script in use)
    **dict.fromkeys(["am"], "Ethi"),
    **dict.fromkeys(["ar", "fa", "ps", "sd", "ur"], "Arab"),
    **dict.fromkeys(["be", "bg", "ky", "mk", "mn", "ru", "tg", "tt", "uk", "kk", "sr"], "Cyrl"),
    **dict.fromkeys(["hi", "mr", "ne"], "Deva"),
    **{
        "bn": "Beng",
        "as": "Beng",
        "gu": "Gujr",
        "ta": "Taml",
        "te": "Telu",
        "kn": "Knda",
        "ml": "Mlym",
        "si": "Sinh",
    },
    **{
        "th": "Thai",
        "lo": "Laoo",
        "km": "Khmr",
        "my": "Mymr",
        "ka": "Geor",
        "hy": "Armn",
        "el": "Grek",
        "he": "Hebr",
    },
    **{"yi": "Hebr", "bo": "Tibt", "ja": "Jpan", "ko": "Kore", "or": "Orya", "pa": "Guru", "yue": "Hant"},
}
BESIDE = re.compile(
    r"\s*(?:\([^()]*\)|[.@][\w-]+)$"
)  # "German (Germany)" of Windows, the encoding of de_AT.UTF-8
WRAPPED = re.compile(
    r"^(?:lang(?:uage)?[:=]\s*)?[\"'<\[(|]*(.*?)[\"'>\])|;,]*$", re.IGNORECASE
)  # <|en|>, [EN], "en", lang:en
REGIONAL = {  # words of people around the name of a language
    **{"american": "US", "us": "US", "usa": "US", "british": "GB", "uk": "GB", "gb": "GB", "australian": "AU", "indian": "IN", "canadian": "CA"},
    **{"brazilian": "BR", "brazil": "BR", "european": "PT", "mexican": "MX", "austrian": "AT"},
    **{"simplified": "Hans", "traditional": "Hant"},
}  # fmt: skip
TAG = re.compile(r"([a-z]{2,3})((?:-[a-z0-9]{2,8})*)")


@cache
def _names() -> dict[str, str]:
    """Code of every name and further code, without case."""
    found: dict[str, str] = {}
    for line in TABLE.split("\n"):
        if line:
            code, others, english, own = line.split(" ")
            names = [code, *others.split(","), *english.split(","), own]
            found |= {name.replace("_", " ").casefold(): code for name in names}
    return found


@cache
def canonical(written: str) -> str:
    """The tag of a language as manifests write it; what is not known is kept, without the spaces around it."""
    inside = WRAPPED.sub(r"\1", written.strip()) if not written.strip().endswith(")") else written.strip()
    plain = BESIDE.sub("", " ".join(inside.strip("_").replace("_", "-").split()).casefold())
    names = _names()
    if (code := names.get(plain.replace("-", " "))) is not None:
        return code
    if (named := _with_words(plain.replace("-", " ").split(), names)) is not None:
        return named
    found = TAG.fullmatch(plain[:-3] + plain[-3:].replace(" ", "-"))  # "en us"
    if found is None or found[1] not in names:
        return written.strip()
    code = names[found[1]]
    parts = [_subtag(part) for part in found[2].split("-") if part]
    if code == "zh" and parts and parts[0] in ("yue", "cmn"):  # an extended language subtag
        code, parts = names[parts[0]], parts[1:]
    usual = USUAL_SCRIPT.get(code, "Latn")
    return "-".join([code, *(part for part in parts if part != usual)])


def _with_words(words: list[str], names: dict[str, str]) -> str | None:
    """The tag of "Brazilian Portuguese", "Simplified Chinese" or "english-us": one word more than the name of the language."""
    for word, name in ((words[0], words[-1]), (words[-1], words[0])) if len(words) == 2 else ():
        if word in REGIONAL and len(name) > 3 and name in names:
            return f"{names[name]}-{REGIONAL[word]}"
    return None


def _subtag(part: str) -> str:
    if len(part) == 4 and part.isalpha():
        return part.capitalize()
    return part.upper() if len(part) == 2 and part.isalpha() else part


@cache
def primary(language: str) -> str:
    """The language without script and region, under which rows are pooled and models asked."""
    return canonical(language).partition("-")[0].lower()


def sentence(text: str, language: str) -> tuple[str, str]:
    """Equal for two texts that say the same words in one language, whatever its region."""
    return primary(language), characters.words(text)


def is_known(language: str) -> bool:
    return primary(language) in _names().values()
